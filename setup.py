"""Packaging: metadata stands here, tools are configured in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r"__version__ = '([^']+)'", (here / 'consensual/__init__.py').read_text())

setup(
    name='consensual',
    version=version.group(1),
    description='Raft for asyncio: a replicated state machine in a few lines.',
    long_description=(here / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='MIT',
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Framework :: AsyncIO',
        'Intended Audience :: Developers',
        'Programming Language :: Python :: 3 :: Only',
        'Topic :: System :: Distributed Computing',
        'Typing :: Typed',
    ],
    packages=find_packages(include=['consensual', 'consensual.*']),
    package_data={'consensual': ['py.typed'], 'consensual.cli.demo.web': ['page/*']},
    entry_points={
        'console_scripts': ['consensual = consensual.cli:script'],
        'pytest11': ['consensual = consensual.testing.plugin'],
    },
    python_requires='>=3.11',
    install_requires=(here / 'requirements.txt').read_text().split(),
    extras_require={
        'http': ['aiohttp>=3.10', 'prometheus-client>=0.20'],
        'demo': ['aiohttp>=3.10', 'rich>=13'],
    },
)
