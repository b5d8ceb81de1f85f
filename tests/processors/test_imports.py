"""The module that the command line imports stays light."""

import subprocess
import sys


def test_settings_without_heavy_imports() -> None:
    code = (
        "import sys; from processors.higgs4l import BRANCHES, CUTS, Settings; Settings();"
        "heavy = {'coffea', 'awkward', 'uproot', 'pyarrow', 'hist', 'numba', 'numpy'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr.strip() == ""
    assert result.returncode == 0


def test_no_import_of_the_other_packages() -> None:
    code = (
        "import sys, processors.higgs4l_processor, processors.readers;"
        "sys.exit(', '.join(sorted({'analysis', 'training', 'cluster'} & set(sys.modules))) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).returncode == 0
