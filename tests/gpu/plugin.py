"""A plugin of pytest: `-p tests.gpu.plugin` puts the simulated device into the process before anything is imported."""

from tests.gpu.simulated import install

install()
