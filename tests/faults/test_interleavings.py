"""Every order in which workers and users can meet: nothing is lost, stale or torn after any step, and nobody fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import hand
from tests.faults.interleaving import Interleaver, orders
from tests.faults.stage import SPECS, Stage


@pytest.fixture(scope="module", params=[False, True], ids=["documents", "attached"])
def scene(module_database_url: str, request: pytest.FixtureRequest) -> Iterator[Stage]:
    with (
        hand.connect(module_database_url) as address,
        Stage(address, module_database_url, attached=request.param) as made,
    ):
        yield made


@pytest.mark.parametrize("name", SPECS)
def test_no_order_does_harm(scene: Stage, name: str) -> None:
    assert list(scene.play(*SPECS[name].scripts)) == []


def test_the_orders_are_many() -> None:
    lengths = [[len(script.split()) - 1 for script in spec.scripts] for spec in SPECS.values()]
    assert sum(sum(1 for _ in orders(each)) for each in lengths) >= 60


def test_a_tester_that_sees_everything(scene: Stage) -> None:
    """Of two transactions on one row the second one waits, and goes on when the first one commits."""
    scene.reset()
    sessions = [scene._session("U1: begin update commit"), scene._session("U2: begin delete commit")]
    tester = Interleaver(scene._is_waiting, lambda: "")
    assert list(tester.run(sessions, (0, 0, 1, 1, 0, 1))) == []
