"""Nodes over HTTP: the transport between them, and what clients and operators ask, on aiohttp."""

from consensual.http.blocking import BlockingClient
from consensual.http.client import Client
from consensual.http.receiver import Receiver
from consensual.http.rest import Rest
from consensual.http.security import Access, InsecureAddress
from consensual.http.sender import Sender

__all__ = [
    'Access',
    'BlockingClient',
    'Client',
    'InsecureAddress',
    'Receiver',
    'Rest',
    'Sender',
]
