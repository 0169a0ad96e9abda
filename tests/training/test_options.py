"""What a command line of the trainer asks for, and how it is written in a job's."""

from __future__ import annotations

import shlex
from typing import Any, Dict

import pytest

from mapush.errors import RequestError
from mapush.learners.config import LEARNERS, RECIPES, PPOConfig
from mapush.training.config import SECTIONS, build_config, without_defaults
from mapush.training.options import build_parser, read_options, with_options

NONE: Dict[str, Any] = {}


def asked(words: str) -> Any:
    return read_options(build_parser().parse_args(shlex.split(words)))


@pytest.mark.parametrize(
    ("words", "options", "changes", "sets"),
    [
        ("", NONE, NONE, NONE),
        ("--exp a --num_envs 1k", {"exp": "a", "num_envs": 1000}, NONE, NONE),
        # Two names of hyper-parameters have changed, not those in files.
        ("--hold 2 --decisions 8", NONE, {"hold": 2, "decisions": 8}, NONE),
        ("--decimation 2 --rollout_steps 8", NONE, {"hold": 2, "decisions": 8}, NONE),
        ("--hold 2 --decimation 3", NONE, {"hold": 3}, NONE),
        ("--clip_value --joint_ratio no", NONE, {"clip_value": True, "joint_ratio": False}, NONE),
        ("--set ppo.learning_rate=3e-4", NONE, {"learning_rate": 3e-4}, NONE),
        ("--set ppo.hold=2", NONE, {"hold": 2}, NONE),
        ("--set ppo.decimation=2", NONE, {"hold": 2}, NONE),
        ("--set checkpointing.keep=last=3,first", {"keep": "last=3,first"}, NONE, NONE),
        ("--set=run.seed=7 --set learner.recipe=published",
         {"seed": 7, "recipe": "published"}, NONE, NONE),
        ("--set goal.radius=1 reward.push=0 --set a=b=c", NONE, NONE,
         {"goal.radius": "1", "reward.push": "0", "a": "b=c"}),
        ("--set task.goal.radius=1 task.run.seed=2", NONE, NONE,
         {"goal.radius": "1", "run.seed": "2"}),
        ("--set goal.radius=1 --set goal.radius=2", NONE, NONE, {"goal.radius": "2"}),
    ],
)  # fmt: skip
def test_a_command_line_is_read_into_values_by_their_names_in_files(
    words: str, options: Dict[str, Any], changes: Dict[str, Any], sets: Dict[str, str]
) -> None:
    found = asked(words)
    assert (found.options, found.changes, found.sets) == (options, changes, sets)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--num_envs 5 --set environment.num_envs=5",
         "--num_envs and --set environment.num_envs: are the same value; give one of them"),
        ("--hold 5 --set ppo.decimation=5", "--decimation and --set ppo.decimation: are the same"),
        ("--set reward.push", "--set reward.push: write PATH=VALUE, such as --set reward.push=0.0"),
        ("--set =3", "--set =3: write PATH=VALUE"),
        ("--set 'a b'", "--set 'a b': write PATH=VALUE"),
        ("--set ppo.rate=1", "--set ppo.rate: ppo has no rate; "),
        ("--set ppo.learning_rat=1",
         "--set ppo.learning_rat: ppo has no learning_rat; did you mean learning_rate? there are"),
        ("--set ppo=1", "--set ppo: ppo has no value of that name; there are: decimation, "),
        ("--set ppo.epochs=0", "--set ppo.epochs=0: must be a whole number, 1 or more"),
        ("--set ppo.epochs=many", "--set ppo.epochs=many: is no whole number, such as 200"),
        ("--set ppo.learning_rate=nan", "--set ppo.learning_rate=nan: must be a finite number"),
        ("--set ppo.clip_value=maybe", "--set ppo.clip_value=maybe: is neither true nor false"),
        ("--set ppo.activation=relo", "--set ppo.activation=relo: did you mean relu? there are:"),
        ("--set simulator.sim=mujoko", "--set simulator.sim=mujoko: did you mean mujoco? there"),
        ("--set run.seed=-1", "--set run.seed=-1: must be a whole number from 0 to 2147483647"),
        ("--set checkpointing.keep=some", "--keep 'some': 'some' is no rule"),
        ("--set", "--set: expected at least one argument"),
        ("--sett a=1", "unknown option --sett; did you mean --set?"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_that_names_it(words: str, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        asked(words)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("--seed 1 --num_envs=2", "--seed 1 --num_envs=2"),
        ("--set run.seed=1", "--seed=1"),
        ("--set ppo.hold=1 goal.radius=2 --seed 3", "--decimation=1 --set goal.radius=2 --seed 3"),
        ("--set=goal.radius=2 --set=ppo.epochs=3", "--set goal.radius=2 --epochs=3"),
        ("--set checkpointing.keep=last=3,first", "--keep=last=3,first"),
        ("--keep all --set run.seed=1", "--keep all --seed=1"),
    ],
)
def test_in_a_job_an_option_stands_for_a_set_of_its_value(words: str, written: str) -> None:
    found = with_options(words.split())
    assert found == tuple(written.split())
    assert read_options(build_parser().parse_args(list(found))) == asked(words)


@pytest.mark.parametrize("words", ["--hold 2 --set ppo.decimation=3", "--seed=1 --set run.seed=1"])
def test_in_a_job_too_both_are_refused(words: str) -> None:
    with pytest.raises(RequestError, match="are the same value; give one of them"):
        read_options(build_parser().parse_args(list(with_options(words.split()))))


def test_the_help_shows_each_value_in_its_group_with_choices_and_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--help"])
    groups: Dict[str, str] = {}
    for block in capsys.readouterr().out.split("\n\n"):
        title, _, rest = block.partition(":\n")
        lines = rest.replace("\n" + 24 * " ", " ")  # an option's help may begin on its own line
        groups[title] = f"{groups.get(title, '')}{lines}"
    assert "--num_envs ENVS" in groups["environment"]
    assert "--sim {planar,mujoco,isaacgym} " in groups["simulator"]
    assert "--save_freq STEPS " in groups["checkpointing"]
    for name, kind in SECTIONS.items():
        for field, info in kind.model_fields.items():
            words = (each for each in groups[name].splitlines() if each.split()[0] == f"--{field}")
            (line,) = words
            assert str(info.description) in line
            assert info.is_required() or "(default: " in line


def test_what_a_plugin_adds_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"exp": "a", "exp_name": "a", "learner": "mine"}
    with pytest.raises(RequestError, match="--learner 'mine': there are: native, openrl"):
        build_config(values)
    monkeypatch.setitem(LEARNERS, "mine", "published")
    assert build_config(values).ppo == RECIPES["published"]
    assert asked("--set learner.learner=mine").options == {"learner": "mine"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"colour": "red"}, "unknown setting 'colour'; there are: "),
        ({"seed": 1.5}, "--seed 1.5: must be a whole number from 0"),
        ({"seed": True}, "--seed True: must be a whole number"),
        ({"seed": "1"}, "--seed '1': must be a whole number"),
        ({"eval_envs": 0}, "--eval_envs 0: must be a whole number from 1 to 100000"),
        ({"sim": 3}, "--sim 3: "),
        ({"exp_name": 3}, "--exp_name 3: must be a text"),
        ({"changes": {"speed": 1}}, "ppo has no 'speed'"),
        ({"changes": {"hold": 0}}, "--decimation 0: must be a whole number, 1 or more"),
    ],
)
def test_settings_in_the_files_of_others_are_read_without_trust(
    values: Dict[str, Any], said: str
) -> None:
    with pytest.raises(RequestError) as refused:
        build_config({"exp": "a", "exp_name": "a", **values})
    assert str(refused.value).startswith(said)


def test_a_config_is_written_in_the_keys_and_the_order_that_files_have() -> None:
    config = build_config({"exp": "a", "exp_name": "b", "changes": {"decisions": 3}})
    assert (
        list(config.as_dict())
        == (
            "exp exp_name task algo sim learner recipe changes num_envs train_timesteps seed "
            "sim_options device save_freq keep max_unprotected_steps eval_freq eval_envs final_envs"
        ).split()
    )
    assert build_config(config.as_dict()) == config
    assert list(config.ppo.as_dict())[:3] == ["hold", "decisions", "epochs"]
    assert config.ppo.rollout_steps == config.ppo.as_dict()["decisions"] == 3
    changed = config.model_copy(update={"changed": {"goal.radius": 2.0, "arena.friction": 0.0}})
    assert list(changed.as_dict()["set"].items()) == [("arena.friction", 0.0), ("goal.radius", 2.0)]
    assert build_config(changed.as_dict()).changed == changed.changed


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        # What the train.sh of a task once stated.
        ({"exp": "a"}, {"exp": "a", "recipe": "default", "num_envs": 100, "seed": 1}, True),
        ({"exp": "a"}, {"exp": "a", "exp_name": "a"}, True),
        ({"exp": "a"}, {"exp": "a", "exp_name": "b"}, False),
        ({"exp": "a"}, {"exp": "a", "seed": 2}, False),
        ({"learner": "openrl"}, {"learner": "openrl", "recipe": "published"}, True),
        ({"learner": "openrl"}, {"learner": "openrl", "recipe": "default"}, False),
        ({"exp": "a"}, {"exp": "a", "set": {"goal.radius": "1"}}, False),
        ({"exp": "a"}, {"exp": "a", "checkpoint": "/x"}, False),
        ({"exp": "a"}, {"exp": "a", "learning_rate": 1e-3}, False),
    ],
)
def test_a_default_that_is_stated_makes_no_other_request(
    one: Dict[str, Any], other: Dict[str, Any], is_same: bool
) -> None:
    assert (without_defaults(one) == without_defaults(other)) == is_same


def test_every_value_that_has_an_option_has_one_name() -> None:
    kinds = (*SECTIONS.values(), PPOConfig)
    names = [name for kind in kinds for name in kind.model_fields]
    assert len(set(names)) == len(names)
