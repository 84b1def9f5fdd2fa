"""Signatures of webhooks are those of the Standard Webhooks specification."""

from __future__ import annotations

import base64

import pytest

from serve_app.services.webhooks.signatures import check_secret, new_secret, sign


def test_a_message_is_signed_as_in_the_specifications_example() -> None:
    """The example of Standard Webhooks, spec/standard-webhooks.md and the test vectors of its libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_secrets_that_are_made_are_accepted_and_differ() -> None:
    one, other = new_secret(), new_secret()
    assert check_secret(one) == one
    assert one != other


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "secret",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_not base 64 at all, of course",
        "whsec_" + "é" * 40,
    ],
)
def test_secrets_of_another_form_are_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="a secret"):
        check_secret(secret)
