//! The way to Postgres: silent networks, poolers, URLs with passwords, and what errors say.

mod pooler;
mod proxy;
mod said;
mod secrets;
mod silence;
