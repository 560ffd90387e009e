//! coffer's own protocol on the Unix socket.
