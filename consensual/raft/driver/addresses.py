"""URLs and what they name: a node's id is the authority of its URL, never a resolved address."""

from yarl import URL

from consensual.raft.core.configuration import Address
from consensual.raft.errors import InvalidAddress


def id_of(url: URL) -> str:
    """Return the name of the node: host and port, an IPv6 host in brackets."""
    return url.host_port_subcomponent or ''


def address_of(url: URL) -> Address:
    """Return the node that the URL names; nothing is looked up.

    Raises `InvalidAddress` for a URL without host, or with what does not belong
    into an address that is passed around: a user, a password, a query, a fragment.
    """
    if not isinstance(url, URL):
        raise InvalidAddress(f'a node is named by a yarl.URL, not by {url!r}')
    if not url.host:
        raise InvalidAddress(f'{url} has no host, so it names no node')
    if url.user is not None or url.password is not None:
        raise InvalidAddress(f'the URL of {url.host} must not carry credentials')
    if url.query_string or url.fragment:
        raise InvalidAddress(f'{url} must not have a query or a fragment')
    # Not str(url): that drops a default port, and the text is to give an equal URL again.
    return Address(id_of(url), f'{url.scheme}://{url.raw_authority}{url.raw_path}')
