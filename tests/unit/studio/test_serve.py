"""Who can reach the page, and what the page is."""

import pytest

from directrix.errors import DirectrixError
from directrix.studio.serve import serve


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_address_that_others_reach_needs_a_password(host):
    with pytest.raises(DirectrixError, match="without a password"):
        serve(host)
    with pytest.raises(DirectrixError, match="without a password"):
        serve(host, password="")
