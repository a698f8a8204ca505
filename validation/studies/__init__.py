"""One module a study: `run(figure)` measures, draws and returns its Section of RESULTS.md; QUICK is a smaller size."""
