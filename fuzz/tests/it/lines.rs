//! The lines that `net-db import` reads.

use base::ChannelName;
use bolero::check;
use netdb_fuzz::alter::{Plan, alter};
use netdb_fuzz::meter::within_bounds;
use records::{End, Mapping, Reader};

/// Lines of each form that is understood.
const SAMPLES: [&[u8]; 4] = [
    b"{\"type\":\"order.placed\",\"subject\":\"17\",\"time\":\"2026-01-02T03:04:05Z\",\"data\":{\"n\":[1,2.5e3]}}\n",
    b"{\"type\":\"x\",\"netdbchannel\":\"a/b\",\"data_base64\":\"AAEC\",\"h\":\"v\",\"n\":7}\n{\"type\":\"y\",\"data\":null}\n",
    b"{\"type\":\"x\",\"netdbheaders\":{\"type\":\"dGV4dA==\"}}\r\n\r\n{\"type\":\"\\u0041\\n\",\"k\":{\"a\":[]}}\n",
    b"{\"type\":\"x\",\"data\":\"\xF0\x9F\x92\xBE\",\"data2\":true}\n{\"type\":\"broken\"",
];

/// Reads an input to its end, or to the line that is refused.
fn read(bytes: &[u8]) {
    let channel = ChannelName::new("lines").expect("the name is allowed");
    let mut reader = Reader::new(bytes, Mapping::default(), Some(channel));
    // A batch is made in a buffer of its own size, whatever is in it.
    let bound = bytes.len() + (1 << 20);
    loop {
        let step = within_bounds(bound, || reader.next_batch());
        if let Some(batch) = &step.batch {
            let counted: usize =
                batch.events.with_parts(|parts| parts.iter().map(|part| part.events.len()).sum());
            assert_eq!(batch.events.len(), counted);
            assert!(counted > 0 && batch.last_line > 0);
        }
        match step.end {
            None => {}
            Some(End::Input) => return,
            Some(End::Bad { line, reason }) => {
                assert!(line > 0 && !reason.to_string().is_empty());
                return;
            }
        }
    }
}

#[test]
fn samples() {
    SAMPLES.into_iter().for_each(read);
}

#[test]
fn bytes() {
    check!().with_iterations(4000).for_each(read);
}

#[test]
fn altered() {
    check!().with_type::<Plan>().with_iterations(20_000).for_each(|(sample, _, edits, count)| {
        let mut bytes = SAMPLES[usize::from(*sample) % SAMPLES.len()].to_vec();
        alter(&mut bytes, edits, *count);
        read(&bytes);
    });
}
