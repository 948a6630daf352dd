"""Which packages an installation has; all else about it is in setup.cfg."""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

# Folders of files that are installed inside the package. Links to them inside iris_tf/ would not
# survive a checkout on Windows.
FOLDERS = {"iris_tf.models": "models", "iris_tf.recipes": "pipelines"}


class BuildModules(build_py):
    """Leave out the launchers beside the recipes: they are run from a checkout."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Modules of a package, as (package, module, file)."""
        return [] if package in FOLDERS else super().find_package_modules(package, package_dir)


setup(
    packages=[*find_packages(include=["iris_tf*"]), *FOLDERS],
    package_dir=FOLDERS,
    cmdclass={"build_py": BuildModules},
)
