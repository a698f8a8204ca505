"""Python below docs has no doctests: the configuration of the site, its extensions, scripts of the gallery."""
collect_ignore_glob = ['*.py', '_build/*', 'examples/*']
