//! The one integration-test binary: each module tests one room.

mod gzip;
