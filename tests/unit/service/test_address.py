import pytest

from service.address import address_of


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8001", ("127.0.0.1", 8001)),
        ("http://worker-1.workers", ("worker-1.workers", 80)),
        ("http://worker:8001/", ("worker", 8001)),
        ("http://[::1]:65535", ("::1", 65535)),
    ],
)
def test_a_worker_s_url_is_a_host_and_a_port(url: str, address: tuple[str, int]) -> None:
    assert address_of(url) == address


@pytest.mark.parametrize(
    "url",
    [
        *("", "worker:8001", "https://worker:8001", "http://", "http://:8001", "http://worker:", "http://worker:port"),
        *("http://worker:0", "http://worker:65536", "http://worker:80\u0661", "http://worker:8001/path"),
        *(
            "http://user@worker:8001",
            "http://[::1:8001",
            "http://a b:8001",
            "http://worker:8001?x",
            "http://worker\r\n",
        ),
    ],
)
def test_any_other_url_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(ValueError, match="write http://host:port"):
        address_of(url)
