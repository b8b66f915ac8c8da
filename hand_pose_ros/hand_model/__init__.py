"""The articulated hand: its degrees of freedom, its mesh, MANO's files, and fitting it to 21 joints."""
