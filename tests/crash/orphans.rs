//! An external parser does not go on when its worker is dead.
