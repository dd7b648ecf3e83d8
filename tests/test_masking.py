"""What is named like a secret is masked, and what merely sounds so is not."""

from typing import Any

import pytest

from sweeper.masking import is_secret, masked, masked_override
from sweeper.trial import Config

SECRET = (
    "token api_key apiKey model.hfToken HF_TOKEN db.password auth.user private_key key "
    "secret_access_key wandb_key client_secret APIKey access-token data.auth openai.api_keys "
    "user_passwd service.credentials.name api_key_value TOKEN bearer_of github.private "
    "authorization session.cookie DB_PWD passphrase ssh-key"
)
OPEN = (
    "data.key_frames tokenizer tokens max_tokens monkey token_dim cls_token sort_key keyboard "
    "author num_token turkey passes keys passthrough secretary token_mixing.depth optim.lr "
    "pad_token keynote model.norm attention_key image_key bypass"
)


@pytest.mark.parametrize("key", SECRET.split())
def test_a_key_that_is_named_like_a_secret_is_one(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize("key", OPEN.split())
def test_a_key_that_merely_sounds_so_is_none(key: str) -> None:
    assert not is_secret(key)


@pytest.mark.parametrize(
    "value, expected",
    [
        ({"token": "a", "lr": 0.1}, {"token": "***", "lr": 0.1}),
        ({"token": True, "key": None, "auth": 0.5}, {"token": True, "key": None, "auth": 0.5}),
        ({"password": 1234}, {"password": "***"}),
        ({"auth": {"user": "a", "tries": 3}}, {"auth": {"user": "***", "tries": "***"}}),
        ({"m.token": ["a", "b"]}, {"m.token": ["***", "***"]}),
        ({"m.token": ("a", None)}, {"m.token": ("***", None)}),
        ({"list": [{"key": "a"}, "b"]}, {"list": [{"key": "***"}, "b"]}),
        ({1: {"secret": "a"}}, {1: {"secret": "***"}}),
        ("token", "token"),
    ],
)
def test_only_what_can_be_a_secret_is_masked(value: Any, expected: Any) -> None:
    assert masked(value) == expected


@pytest.mark.parametrize(
    "text, shown",
    [
        ("model.token=a=b", "model.token=***"),
        ("+m={token: a, x: 1}", "+m=***"),
        ("+m={a.key=b", "+m=***"),
        ("optim.lr=0.1", "optim.lr=0.1"),
        ("token", "token"),
    ],
)
def test_an_override_is_shown_without_its_secret(text: str, shown: str) -> None:
    assert masked_override(text) == shown


def test_a_configuration_that_is_printed_says_no_secret() -> None:
    config = Config({"task": {"token": "a", "width": 3}})
    assert config.task.token == "a"
    assert str(config) == "Config({'task': {'token': '***', 'width': 3}})"
