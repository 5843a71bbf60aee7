"""Building blocks of the methods: networks and the warping of tensors by voxel displacements."""
