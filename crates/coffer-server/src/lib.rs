//! Listeners, limits and wiring.
