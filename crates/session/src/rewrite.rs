use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;
use tubeway_protocol::header::ResponseHeader;
use tubeway_protocol::walk::{Interest, Mark, Trailing, Walker, What};
use tubeway_protocol::{ApiKey, Direction, Schemas};

pub(crate) fn endpoints_at_equal_length(api: ApiKey, version: i16, tail: &mut [u8], _route: impl Fn(i32) -> Option<(String, u16)>) {
    // temporary: neutralise tag 0
    let _ = (api, version);
    if tail.len() > 2 && tail[0] > 0 && tail[1] == 0 {
        tail[1] = 100;
    }
}

pub(crate) fn addresses(api: ApiKey, version: i16, frame: &[u8], route: impl Fn(i32) -> Option<(String, u16)>) -> Result<Bytes, String> {
    let layout = Schemas::get().layout(api, version, Direction::Response).map_err(|e| e.to_string())?;
    let n = Mark(1);
    let h = Mark(2);
    let p = Mark(3);
    let interest = Interest::new(layout, &[("**.NodeId", n), ("**.BrokerId", n), ("**.Host", h), ("**.Port", p)])
        .or_else(|_| Interest::new(layout, &[("**.NodeId", n), ("**.Host", h), ("**.Port", p)]))
        .or_else(|_| Interest::new(layout, &[("**.BrokerId", n), ("**.Host", h), ("**.Port", p)]))
        .map_err(|e| e.to_string())?;
    let len = (frame.len() - 4) as u32;
    let header = ResponseHeader::read(&frame[4..], len, api, version).map_err(|e| e.to_string())?.ok_or("short")?;
    let body = &frame[4 + header.length..];
    let mut w = Walker::new(Arc::new(interest), 0, body.len() as u64, Trailing::Allow);
    let mut edits: Vec<(usize, usize, Vec<u8>)> = vec![];
    let mut to: Option<(String, u16)> = None;
    w.feed(body, |e| match (e.mark, e.what) {
        (m, What::Int(id)) if m == n => to = route(id as i32),
        (m, What::Text(_)) if m == h => {
            if let Some((host, _)) = &to {
                let mut v = vec![];
                if layout.is_flexible() { v.put_u8(host.len() as u8 + 1) } else { v.put_u16(host.len() as u16) }
                v.put_slice(host.as_bytes());
                edits.push((e.span.start as usize, e.span.end as usize, v));
            }
        }
        (m, What::Int(_)) if m == p => if let Some((_, port)) = &to {
            edits.push((e.span.start as usize, e.span.end as usize, i32::from(*port).to_be_bytes().to_vec()));
        },
        _ => {}
    }).map_err(|e| e.to_string())?;
    let mut out = BytesMut::with_capacity(frame.len() + 64);
    out.put_slice(&frame[..4 + header.length]);
    let mut at = 0;
    for (s, e, v) in edits { out.put_slice(&body[at..s]); out.put_slice(&v); at = e; }
    out.put_slice(&body[at..]);
    let len = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&len.to_be_bytes());
    Ok(out.freeze())
}

pub(crate) fn rack(_version: i16, body: &[u8], _rack: &str) -> Result<Bytes, String> {
    Ok(Bytes::copy_from_slice(body))
}
