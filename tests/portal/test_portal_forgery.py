"""A form counts only if the browser and the form itself both say that it is from a page of ours."""

import pytest

from sekisho.portal.forgery import form_token, is_form_token, is_from_our_origin

ORIGIN = "https://sekisho.localhost:8443"


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"sec-fetch-site": "same-origin", "origin": ORIGIN}, True),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),  # what browsers send under a no-referrer policy
        ({"sec-fetch-site": "same-origin"}, True),
        ({"origin": ORIGIN}, True),
        ({}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://rooms.localhost:8444"}, False),
        ({"origin": ORIGIN + ".evil.example"}, False),
        ({"sec-fetch-site": "same-site", "origin": ORIGIN}, False),
        ({"sec-fetch-site": "cross-site", "origin": ORIGIN}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-origin", "origin": "https://evil.example"}, False),
    ],
)
def test_only_a_page_of_ours_may_send_a_form(headers, is_ours):
    assert is_from_our_origin(headers, origin=ORIGIN) is is_ours


def test_a_form_token_fits_its_own_sign_in_only():
    assert is_form_token(form_token("one"), secret="one")
    assert not is_form_token(form_token("one"), secret="another")
    assert not is_form_token("", secret="one")
    assert not is_form_token(form_token(""), secret="")
    assert not is_form_token("ü", secret="one")
