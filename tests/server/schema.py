"""schemathesis over every route of the server's own OpenAPI document: only statuses that it has, every error body in its shape, no
failure of the server's. The number of cases a route is the first argument."""

import pathlib
import subprocess
import sys
import tempfile

from serve import TINY, serve

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method"

with tempfile.TemporaryDirectory() as folder:
    flags = ["--model", TINY, "--a1111", "--search", folder, "--gallery", folder, "--max-images", "1", "--max-frames", "2"]
    with serve(*flags) as address:
        st = pathlib.Path(sys.executable).with_name("st")
        command = [st, "run", f"{address}/openapi.json", "--checks", CHECKS, "--phases", "coverage,fuzzing"]
        command += ["--max-examples", sys.argv[1], "--seed", "1", "--continue-on-failure", "--generation-database", "none"]
        command += ["--suppress-health-check", "all", "--request-timeout", "60", "--workers", "2", "--warnings", "off"]
        ran = subprocess.run(command, cwd=folder)
        sys.exit(ran.returncode)
