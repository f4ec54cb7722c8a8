"""Packaging: metadata stands here, tools are configured in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
home = 'https://github.com/lycantropos/consensual'
version = re.search(r"__version__ = '([^']+)'", (here / 'consensual/__init__.py').read_text())


def description() -> str:
    """Return the README with links that lead somewhere from elsewhere, too."""
    text = (here / 'README.md').read_text(encoding='utf-8')
    text = re.sub(r'(!\[[^\]]*\]\()(?!https?:)', rf'\g<1>{home}/raw/HEAD/', text)
    return re.sub(r'(\]\()(?!https?:|#)', rf'\g<1>{home}/blob/HEAD/', text)


setup(
    name='consensual',
    version=version.group(1),
    description='Raft for asyncio: a replicated state machine in a few lines.',
    long_description=description(),
    long_description_content_type='text/markdown',
    url=home,
    project_urls={
        'Documentation': f'{home}/tree/HEAD/docs',
        'Changelog': f'{home}/blob/HEAD/CHANGELOG.md',
        'Issues': f'{home}/issues',
    },
    author='consensual developers',
    license='MIT',
    keywords='raft consensus replication distributed asyncio',
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Framework :: AsyncIO',
        'Intended Audience :: Developers',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3 :: Only',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in range(11, 15)),
        'Topic :: Software Development :: Libraries',
        'Topic :: System :: Distributed Computing',
        'Typing :: Typed',
    ],
    packages=find_packages(include=['consensual', 'consensual.*']),
    package_data={
        'consensual': ['py.typed'],
        'consensual.cli.demo': ['*.txt'],
        'consensual.cli.demo.web': ['page/*'],
    },
    entry_points={
        'console_scripts': ['consensual = consensual.cli:script'],
        'pytest11': ['consensual = consensual.testing.plugin'],
    },
    python_requires='>=3.11',
    install_requires=(here / 'requirements.txt').read_text().split(),
    extras_require={
        'http': ['aiohttp>=3.12', 'prometheus-client>=0.20'],
        'demo': ['aiohttp>=3.12', 'rich>=13'],
    },
)
