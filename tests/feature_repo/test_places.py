"""What the environment may ask for, and how a wrong wish is refused."""

from __future__ import annotations

import pytest

from feature_repo.places import BadSetting, run_from_environment


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("SCALE", "huge", "SCALE is 'huge', must be one of tiny, laptop, full; set SCALE=laptop"),
        ("LOGS", "foo", "LOGS is 'foo', must be one of simulated, kuairand; set LOGS=simulated"),
        ("SEED", "abc", "SEED is 'abc', must be a whole number from 0 to 2147483647; set SEED=7"),
        ("SEED", "-1", "SEED is '-1', must be a whole number"),
        ("SEED", "99999999999999", "SEED is '99999999999999', must be a whole number"),
    ],
)
def test_a_setting_that_names_nothing_is_refused_with_what_may_be_set(
    name: str, value: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(BadSetting, match=rule):
        run_from_environment()
