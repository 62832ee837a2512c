import pytest
from pydantic import ValidationError

from gateway.settings import GatewaySettings


def test_an_upstream_that_leads_nowhere_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValidationError, match=r"upstream\n.*'http://envoy:port' leads nowhere: write http://host:port"):
        GatewaySettings(upstream="http://envoy:port")
    assert GatewaySettings(upstream="http://envoy:10000").upstream == "http://envoy:10000"
