//! A request taken apart for its signature: first line the URI, then header lines, then the body.
#![no_main]

use http::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(12, |&byte| byte == b'\n');
    let uri = lines.next().unwrap_or_default();
    let mut builder = Request::builder().method("POST").uri(uri);
    let mut body: &[u8] = b"";
    for line in lines {
        match line.iter().position(|&byte| byte == b':') {
            Some(colon) => builder = builder.header(&line[..colon], &line[colon + 1..]),
            None => body = line,
        }
    }
    if let Ok(request) = builder.body(()) {
        let _ = coffer_wire_aws::sigv4::parse(&request.into_parts().0, body, coffer_wire_aws::SERVICE);
    }
});
