"""Nodes over HTTP: the transport between them, and what operators and programs ask of them."""

from consensual.http.receiver import Receiver
from consensual.http.security import InsecureBind
from consensual.http.sender import Sender

__all__ = ['InsecureBind', 'Receiver', 'Sender']
