import httpx
import pytest

from headrace.activity import look
from headrace.api import Api
from headrace.errors import CommandError
from headrace.scrape import growth, mean, merge, quantile, read, total, values

BEFORE = """\
# TYPE t histogram
t_bucket{le="1.0",model="a"} 5
t_bucket{le="2.0",model="a"} 5
t_bucket{le="+Inf",model="a"} 5
t_sum{model="a"} 2
t_count{model="a"} 5
# TYPE c counter
c_total{model="a",outcome="hit"} 7
c_total{model="b",outcome="hit"} 100
"""
AFTER = """\
# TYPE t histogram
t_bucket{le="1.0",model="a"} 7
t_bucket{le="2.0",model="a"} 15
t_bucket{le="+Inf",model="a"} 15
t_sum{model="a"} 14
t_count{model="a"} 15
# TYPE c counter
c_total{model="a",outcome="hit"} 10
c_total{model="a",outcome="miss"} 4
c_total{model="a",outcome="TooLarge"} 1
c_total{model="b",outcome="hit"} 6
"""
GROWN = growth(read(BEFORE), read(AFTER))


def test_what_is_new_or_began_anew_counts_from_nothing() -> None:
    assert total(GROWN, "c_total", model="a", outcome="hit") == 3
    assert total(GROWN, "c_total", outcome={"hit", "miss"}, model="a") == 7
    assert total(GROWN, "c_total", model="b") == 6
    assert total(GROWN, "c_total", model="nobody") == 0
    assert values(GROWN, "c_total", "model") == {("a",): 8, ("b",): 6}


def test_a_quantile_is_that_of_what_was_observed_in_between() -> None:
    assert mean(GROWN, "t") == 1.2
    assert quantile(GROWN, "t", 0.2) == 1.0
    assert quantile(GROWN, "t", 0.6) == 1.5
    assert quantile(GROWN, "t", 0.1) == 0.5
    assert quantile(GROWN, "t", 0.5, model="b") is None
    assert mean(GROWN, "t", model="b") is None


def test_a_quantile_above_all_bounds_is_the_last_bound() -> None:
    samples = read('# TYPE t histogram\nt_bucket{le="1.0"} 1\nt_bucket{le="+Inf"} 10\n')
    assert quantile(samples, "t", 0.9) == 1.0


def test_processes_are_added_up() -> None:
    assert total(merge([read(AFTER), read(AFTER)]), "c_total", model="a") == 30


@pytest.mark.parametrize("answer", ["<html>hello</html>", "", "up 1\n"])
async def test_what_is_not_a_gateway_s_metrics_is_an_error(answer: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=answer))
    async with httpx.AsyncClient(transport=transport, base_url="http://there") as client:
        with pytest.raises(CommandError, match="is no headrace gateway"):
            await look(Api(client), client, [])
