"""What `pip install -e .` adds to the package: the names `lib` and `studies`, which the notebooks
import. A wheel holds neither."""

from setuptools import find_packages, setup
from setuptools.command.editable_wheel import editable_wheel


class Repository(editable_wheel):
    def run(self) -> None:
        self.distribution.packages += find_packages(include=["lib*", "studies*"])
        super().run()


setup(cmdclass={"editable_wheel": Repository})
