"""What is saved of a training run: how it is written, kept, found again and read without trust."""
