"""The command line: what people do from a shell, over the same API and with the same decisions as in the portal. Being root makes nobody anybody."""
