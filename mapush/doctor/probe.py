"""Says what a Python has, as one line of JSON. Its text is run by `python -c`, in any Python.

Argument: a JSON object with `modules`, each with its package, `gpus`, `envs`, and in `check` what a
simulator wants to be asked itself, "module:function" or nothing.
"""

import importlib
import json
import os
import sys

if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    found, missing, errors, gpus, refusal = {}, [], {}, [], ""
    if wanted["check"]:
        # It may have to come before torch, and says itself what it cannot run on.
        try:
            module, _, name = wanted["check"].partition(":")
            getattr(importlib.import_module(module), name)(wanted["envs"], wanted["gpus"])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            refusal = str(error)
    for module, package in sorted(wanted["modules"].items()):
        try:
            __import__(module)
        except Exception as error:  # noqa: BLE001
            if str(error).endswith(("'" + module + "'", "named " + module)):
                missing.append(package)
            else:
                errors[module] = type(error).__name__ + ": " + str(error)
            continue
        try:
            from importlib.metadata import version

            found[module] = version(package)
        except Exception:  # noqa: BLE001 - it does not tell
            found[module] = ""
    if "torch" in found and wanted["gpus"]:
        cuda = sys.modules["torch"].cuda
        try:
            gpus = [cuda.get_device_name(number) for number in range(cuda.device_count())]
        except Exception as error:  # noqa: BLE001
            errors["torch"] = str(error)
    root = os.environ.get("MAPUSH_ROOT", "")
    answer = {
        "version": list(sys.version_info[:3]),
        "executable": sys.executable,
        "found": found,
        "missing": missing,
        "errors": errors,
        "refusal": refusal,
        "gpus": gpus,
        "writable": not root or os.access(root, os.W_OK),
    }
    sys.stdout.write("\nmapush:" + json.dumps(answer) + "\n")
