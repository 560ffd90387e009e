//! AWS JSON 1.1 and Signature Version 4, translated to operations.
