"""What the panel does, without its widgets: jobs for a child process, nodes, views, quality. Imports slicer, vtk and
numpy; never qt, and torch only where a transform bends space (see `bent`)."""
