# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a rotation: what is accepted in each, what is kept, and what of it may be told."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _rotation
from ansible_collections.arxos.platform.plugins.module_utils._rotation import Other, RotationError, State

DAY = 86400.0
NOW = _rotation.seconds_of("2026-11-25T12:00:00Z")
GROUPS = {"redis": ["vault_r"], "jwt": ["vault_j"], "data_key": ["vault_d"]}
KEEPS = {"vault_j": 604800, "vault_d": -1}
VALUES = {"vault_r": "r-old", "vault_j": "j-old", "vault_d": "d-old"}


def again(state: State, values: dict[str, str]) -> State:
    """Through the file, as another run finds it."""
    return _rotation.read({**values, **_rotation.written(state)})


def step(state: State, values: dict[str, str], now: float = NOW) -> State:
    """The next step, with the values changed in place."""
    state, changed = _rotation.advanced(state, values, now)
    values.update(changed)
    return again(state, values)


def accepted(state: State, values: dict[str, str]) -> dict[str, list[str]]:
    """What a server takes."""
    return {name: [value, *(each.value for each in state.others.get(name, ()))] for name, value in values.items()}


def test_every_step_takes_what_the_step_before_used() -> None:
    values = dict(VALUES)
    state = again(_rotation.begun(State(), GROUPS, KEEPS, lambda name: name[-1] + "-new"), values)
    assert (state.phase, state.moving, values) == ("introduce", ("vault_r", "vault_j", "vault_d"), VALUES)
    assert accepted(state, values)["vault_r"] == ["r-old", "r-new"]

    state = step(state, values)
    assert state.phase == "switch" and accepted(state, values) == {
        "vault_r": ["r-new", "r-old"],
        "vault_j": ["j-new", "j-old"],
        "vault_d": ["d-new", "d-old"],
    }
    assert state.made_at == dict.fromkeys(VALUES, "2026-11-25T12:00:00Z")

    state = step(state, values)
    assert state.phase == "retire" and state.previous == {"vault_r": "r-old"}
    assert accepted(state, values) == {"vault_r": ["r-new"], "vault_j": ["j-new", "j-old"], "vault_d": ["d-new", "d-old"]}
    assert state.others["vault_j"] == (Other("j-old", "2026-12-02T12:00:00Z"),)

    state = step(state, values)
    assert (state.phase, state.groups, state.moving, state.previous) == ("", (), (), {})
    assert "r-old" not in str(_rotation.written(state))
    with pytest.raises(RotationError, match="no rotation is under way"):
        _rotation.advanced(state, values, NOW)


def test_a_kept_value_goes_when_its_time_is_up_and_a_data_key_never() -> None:
    values, state = dict(VALUES), State()
    for round_ in ("1", "2"):
        state = _rotation.begun(state, GROUPS, KEEPS, lambda name, round_=round_: name[-1] + round_)
        assert len(accepted(state, values)["vault_d"]) == int(round_) + 1
        for _step in range(3):
            state = step(state, values, NOW + (int(round_) - 1) * DAY)
    assert accepted(state, values)["vault_j"] == ["j2", "j1", "j-old"]
    assert _rotation.expired(state, NOW + 7 * DAY - 1) == []
    assert _rotation.expired(state, NOW + 7 * DAY) == ["vault_j"]
    state = again(_rotation.expiring(state, GROUPS, NOW + 7 * DAY), values)
    assert (state.phase, state.groups) == ("expire", ("jwt",)) and accepted(state, values)["vault_j"] == ["j2", "j1"]
    state = step(state, values, NOW + 7 * DAY)
    state = step(_rotation.expiring(state, GROUPS, NOW + 80 * DAY), values)
    assert state.phase == "" and accepted(state, values) == {"vault_r": ["r2"], "vault_j": ["j2"], "vault_d": ["d2", "d1", "d-old"]}


def test_without_an_overlap_nothing_is_kept() -> None:
    values = dict(VALUES)
    state = _rotation.begun(State(), {"jwt": ["vault_j"]}, {"vault_j": 0}, lambda name: "j-new")
    state = step(step(state, values), values)
    assert state.phase == "retire" and accepted(state, values)["vault_j"] == ["j-new"]


def test_without_an_overlap_also_what_an_earlier_rotation_has_kept_goes() -> None:
    values, state = dict(VALUES), State()
    for name, keeps in (("1", KEEPS), ("2", {**KEEPS, "vault_j": 0})):
        state = _rotation.begun(state, GROUPS, keeps, lambda secret, name=name: secret[-1] + name)
        for _step in range(3):
            state = step(state, values)
    assert accepted(state, values) == {"vault_r": ["r2"], "vault_j": ["j2"], "vault_d": ["d2", "d1", "d-old"]}


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_one_that_is_under_way_keeps_nothing_where_that_is_asked_later(steps: int) -> None:
    values, state = dict(VALUES), State()
    state = _rotation.begun(state, GROUPS, KEEPS, lambda name: name[-1] + "1")
    for _step in range(steps):
        state = step(state, values)
    assert _rotation.hastened(state, KEEPS) == state
    state = again(_rotation.hastened(state, {**KEEPS, "vault_j": 0}), values)
    for _step in range(3 - steps):
        state = step(state, values)
    assert state.phase == "" and accepted(state, values) == {"vault_r": ["r1"], "vault_j": ["j1"], "vault_d": ["d1", "d-old"]}


@pytest.mark.parametrize(
    ("made_at", "groups"),
    [
        ({}, ["redis", "jwt", "data_key"]),
        ({"vault_r": "2026-11-25T00:00:00Z", "vault_j": "2026-08-27T12:00:00Z"}, ["data_key"]),
        ({"vault_r": "2026-11-25T00:00:00Z", "vault_j": "2026-08-27T11:59:59Z"}, ["jwt", "data_key"]),
    ],
)
def test_what_is_due(made_at: dict[str, str], groups: list[str]) -> None:
    assert _rotation.due(State(made_at=made_at), GROUPS, 90, NOW) == groups


def test_one_rotation_at_a_time() -> None:
    state = _rotation.begun(State(), GROUPS, KEEPS, lambda name: "new")
    for refused in (lambda: _rotation.begun(state, GROUPS, {}, lambda name: "x"), lambda: _rotation.expiring(state, GROUPS, NOW)):
        with pytest.raises(RotationError, match="under way, in step introduce"):
            refused()


@pytest.mark.parametrize(
    "content",
    [
        {"arxos_rotation": "geheim"},
        {"arxos_rotation": {"phase": "geheim"}},
        {"arxos_rotation": {"phase": "switch", "moving": ["vault_r"]}},
        {"arxos_rotation": {"also": {"vault_r": ["geheim"]}}},
        {"arxos_rotation": {"also": {"vault_r": ["geheim"]}, "until": {"vault_r": []}}},
        {"arxos_rotation": {"also": {"vault_r": ["geheim"]}, "until": {"vault_r": ["soon"]}}},
        {"arxos_secrets_made_at": {"vault_r": "yesterday"}},
        {"arxos_secrets_made_at": ["geheim"]},
    ],
)
def test_a_file_that_no_rotation_wrote_is_refused_without_its_values(content: dict[str, Any]) -> None:
    with pytest.raises(RotationError, match="restore the file") as raised:
        _rotation.read(content)
    assert "geheim" not in str(raised.value) and raised.value.__cause__ is None


def test_what_is_told_has_no_value() -> None:
    values = dict(VALUES)
    state = _rotation.begun(State(made_at={"vault_r": "2026-11-20T12:00:00Z"}), GROUPS, KEEPS, lambda name: name[-1] + "-new")
    for _step in range(3):
        told = f"{state!r} {_rotation.shown(state, NOW)} {_rotation.told(state.made_at, _rotation.written(state)['arxos_rotation'], NOW)}"
        assert "-new" not in told and "-old" not in told
        state = step(state, values)


def test_the_line_of_status() -> None:
    made_at = {"vault_r": "2026-11-20T12:00:00Z", "vault_j": "2026-08-01T12:00:00Z"}
    assert _rotation.told({}, {}, NOW) == ("age not known", "")
    line, wrong = _rotation.told(made_at, {}, NOW)
    assert line == "oldest 116 d (vault_j), more than 90 d: run playbooks/rotate_secrets.yml" and wrong == ""
    kept = {"also": {"vault_j": ["x"]}, "until": {"vault_j": ["2026-11-26T12:00:00Z"]}}
    assert _rotation.told({"vault_r": made_at["vault_r"]}, kept, NOW)[0] == (
        "oldest 5 d (vault_r); an old vault_j is accepted until 2026-11-26T12:00:00Z"
    )
    assert _rotation.told(made_at, kept, NOW + 2 * DAY)[0].endswith("which is over: run playbooks/rotate_secrets.yml")
    assert "(step retire)" in _rotation.told(made_at, {"phase": "retire", "groups": ["redis"]}, NOW)[1]


def test_metrics_have_the_oldest_of_each_group_that_is_known() -> None:
    text = _rotation.metrics(
        {"vault_r": "1970-01-02T00:00:00Z", "vault_s": "1970-01-01T00:01:00Z"}, {"a": ["vault_r", "vault_s"], "b": ["x"]}
    )
    assert [line for line in text.splitlines() if not line.startswith("#")] == ['arxos_secrets_oldest_timestamp_seconds{group="a"} 60']
