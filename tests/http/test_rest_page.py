"""docs/rest.md names every metric, every route and the status of every error."""

import re
from pathlib import Path

import pytest

from consensual.http.answers import STATUSES
from consensual.http.rest import Rest
from tests.clusters import Cluster
from tests.http.serving import Open, served

PAGE = (Path(__file__).parents[2] / 'docs' / 'rest.md').read_text(encoding='utf-8')


def test_page_tells_the_status_of_each_error() -> None:
    """As the table in the code does."""
    told = {
        name: int(status)
        for status, row in re.findall(r'^\| (\d+) \|(.*)$', PAGE, re.MULTILINE)
        for name in re.findall(r'`([A-Z]\w+)`', row.rpartition('|')[0].rpartition('|')[2])
        if name != 'NoLeader'
    }
    assert told == {kind.__name__: status for kind, status in STATUSES.items()}


@pytest.mark.asyncio
async def test_page_names_each_metric_and_each_route() -> None:
    """And none that is not there."""
    async with Cluster('ab') as cluster, served(cluster['a']) as client:
        async with client.get('/metrics') as response:
            text = await response.text()
        there = set(re.findall(r'^# TYPE (consensual_\w+)', text, re.MULTILINE))
        assert set(re.findall(r'`(consensual_\w+)', PAGE)) == there
        routes = {(route.method, route.path) for route in Rest(cluster['a'], Open()).routes()}
        told = re.findall(r'^\| `(GET|POST|DELETE) (/[a-z{}]*)[?`]', PAGE, re.MULTILINE)
        named = {
            (method, path.replace('{action}', '{name}').replace('{query}', '{name}'))
            for method, path in told
        }
        assert named == routes
