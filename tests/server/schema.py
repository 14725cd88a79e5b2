"""schemathesis over every route of the server's own OpenAPI document: only statuses that it has, every error body in its shape, no
defect of the server's. The number of cases a route is the first argument."""

import pathlib
import subprocess
import sys
import tempfile
import urllib.request

from serve import TINY, serve

CHECKS = "status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method"

with tempfile.TemporaryDirectory() as folder:
    flags = ["--model", TINY, "--a1111", "--search", folder, "--gallery", folder, "--max-images", "1", "--max-frames", "2"]
    # A thousand candidates in a thousand steps take the server its time.
    flags += ["--deadline", "2"]
    with serve(*flags) as address:
        st = pathlib.Path(sys.executable).with_name("st")
        command = [st, "run", f"{address}/openapi.json", "--checks", CHECKS, "--phases", "coverage,fuzzing"]
        command += ["--max-examples", sys.argv[1], "--seed", "1", "--continue-on-failure", "--generation-database", "none"]
        command += ["--suppress-health-check", "all", "--request-timeout", "60", "--workers", "2", "--warnings", "off"]
        ran = subprocess.run(command, cwd=folder)
        metrics = urllib.request.urlopen(f"{address}/metrics").read().decode()
        defects = [line for line in metrics.splitlines() if 'status="500"' in line or "worker_panics_total" in line and not line.endswith(" 0")]
        assert not [line for line in defects if not line.startswith("#")], defects
        sys.exit(ran.returncode)
