//! Datagrams between nodes: they come or not, are bounded, and never hold anybody up.

use bytes::Bytes;
use net::{DatagramError, Protocol, SimulatedNetwork, Weather};

use crate::nodes::{Members, WITHIN, open, pair};

/// What fits at any time, whatever the path.
const FITS_BYTES: usize = 1_150;

#[tokio::test(start_paused = true)]
async fn datagrams_come_both_ways() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let members = Members::new(&[1, 2]);
    let (one, two) = (open(&network, 1, &members), open(&network, 2, &members));
    let (there, here) = pair(&one, (2, &two), Protocol::Gossip).await;
    for bytes in [0, 1, FITS_BYTES] {
        there.send_datagram(vec![7; bytes].into()).unwrap();
        assert_eq!(here.next_datagram().await.unwrap(), vec![7; bytes]);
        here.send_datagram(vec![8; bytes].into()).unwrap();
        assert_eq!(there.next_datagram().await.unwrap(), vec![8; bytes]);
    }
    assert_eq!((one.counts().datagrams_unread, two.counts().datagrams_unread), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_datagram_that_does_not_fit_is_refused_with_what_fits() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let members = Members::new(&[1, 2]);
    let (one, two) = (open(&network, 1, &members), open(&network, 2, &members));
    let (there, here) = pair(&one, (2, &two), Protocol::Gossip).await;
    let max = there.max_datagram_bytes().unwrap();
    assert!(max >= FITS_BYTES, "{max}");
    let error = there.send_datagram(vec![0; max + 1].into()).unwrap_err();
    assert!(matches!(error, DatagramError::TooLarge { bytes, max: fits } if bytes == max + 1 && fits == max));
    there.send_datagram(vec![0; max].into()).unwrap();
    assert_eq!(here.next_datagram().await.unwrap().len(), max);
}

#[tokio::test(start_paused = true)]
async fn datagrams_that_nobody_reads_are_bounded_and_counted_and_requests_go_on() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let members = Members::new(&[1, 2]);
    let (one, two) = (open(&network, 1, &members), open(&network, 2, &members));
    let (there, here) = pair(&one, (2, &two), Protocol::Gossip).await;
    let sent = 1_000_u64;
    for number in 0..sent {
        there.send_datagram(Bytes::from([number.to_le_bytes().to_vec(), vec![0; 992]].concat())).unwrap();
        // Behind each, a request shows that the datagram has come, and that others are served.
        if number % 10 == 9 {
            let serve = async {
                let mut request = here.next_request().await.unwrap();
                let body = request.body().await.unwrap();
                request.answer(&body).await.unwrap();
            };
            let (answer, ()) = tokio::join!(there.request(b"still there?", WITHIN), serve);
            assert_eq!(answer.unwrap(), b"still there?");
        }
    }
    assert_eq!(two.counts().datagrams_unread, sent);
    let mut read = Vec::new();
    while let Ok(next) = tokio::time::timeout(WITHIN, here.next_datagram()).await {
        read.push(u64::from_le_bytes(*next.unwrap().first_chunk().unwrap()));
    }
    // The newest are kept, in 64 KiB.
    assert!((40..66).contains(&read.len()), "{}", read.len());
    // Ten go at once, and may overtake each other.
    assert!(read.iter().all(|number| *number >= sent - 76), "{read:?}");
    let dropped = sent - u64::try_from(read.len()).unwrap();
    assert_eq!(two.counts().datagrams_unread, dropped);
    drop((there, here));
    assert_eq!(two.counts().datagrams_unread, dropped);
}

#[tokio::test(start_paused = true)]
async fn an_ended_connection_has_no_datagrams() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let members = Members::new(&[1, 2]);
    let (one, two) = (open(&network, 1, &members), open(&network, 2, &members));
    let (there, here) = pair(&one, (2, &two), Protocol::Gossip).await;
    there.close();
    assert!(matches!(here.next_datagram().await, Err(DatagramError::Closed { .. })));
    let sent = there.send_datagram(Bytes::from_static(b"x"));
    assert!(matches!(sent, Err(DatagramError::Closed { .. })), "{sent:?}");
}
