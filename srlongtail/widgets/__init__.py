"""Widgets for notebooks and the report's page: one script each, and a shared style sheet.

They work in JupyterLab and VS Code, by mouse, touch and keyboard; where no script runs, a static
picture stands for them. They need the extra `notebooks`.
"""

from srlongtail.widgets.dials import FocalDials as FocalDials
from srlongtail.widgets.picker import WindowPicker as WindowPicker
from srlongtail.widgets.viewer import ComparisonViewer as ComparisonViewer
from srlongtail.widgets.watcher import RunWatcher as RunWatcher
