//! Exchanges: messages in order, both ways, over one stream.

use std::time::Duration;

use net::{Protocol, RequestError, SimulatedNetwork, Weather};

use crate::nodes::{Members, open, pair};

#[tokio::test(start_paused = true)]
async fn messages_come_whole_and_in_order_both_ways_whatever_the_weather() {
    let foul =
        Weather { lost: 50, repeated: 20, delay: Duration::from_micros(100)..Duration::from_millis(20) };
    for weather in [Weather::fair(), foul] {
        let network = SimulatedNetwork::new(1, weather);
        let members = Members::new(&[1, 2]);
        let (one, two) = (open(&network, 1, &members), open(&network, 2, &members));
        let (there, here) = pair(&one, (2, &two), Protocol::Client).await;
        let message = |number: usize| vec![u8::try_from(number % 251).unwrap(); number * 37 % 5_000];
        let asking = async {
            let (mut send, mut receive) = there.open_exchange().await.unwrap();
            for number in 0..300 {
                send.push(&message(number));
                if number % 7 == 0 {
                    send.flush().await.unwrap();
                }
            }
            send.flush().await.unwrap();
            send.finish().unwrap();
            let mut back = Vec::new();
            loop {
                let messages = receive.next().await.unwrap();
                if messages.is_empty() {
                    return back;
                }
                back.extend(messages);
            }
        };
        let echoing = async {
            let (mut send, mut receive) = here.next_exchange().await.unwrap();
            loop {
                let messages = receive.next().await.unwrap();
                if messages.is_empty() {
                    return send.finish().unwrap();
                }
                messages.iter().for_each(|message| send.push(message));
                send.flush().await.unwrap();
            }
        };
        let (back, ()) = tokio::join!(asking, echoing);
        assert_eq!(back.len(), 300);
        for (number, found) in back.iter().enumerate() {
            assert_eq!(*found, message(number));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_long_or_cut_off_is_an_error_and_takes_no_memory() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let members = Members::new(&[1, 2]);
    let (one, two) = (open(&network, 1, &members), open(&network, 2, &members));
    let (there, here) = pair(&one, (2, &two), Protocol::Client).await;
    // A length that nobody means, as a request has it in front.
    let length = u32::MAX.to_le_bytes();
    let asking = there.request(&length, Duration::from_secs(1));
    let taking = async {
        let (_send, mut receive) = here.next_exchange().await.unwrap();
        receive.next().await.unwrap_err()
    };
    let (_, error) = tokio::join!(asking, taking);
    assert!(matches!(error, RequestError::TooLarge { .. }), "{error}");
    let asking = there.request(&[9, 0, 0, 0, 1, 2], Duration::from_secs(1));
    let taking = async {
        let (_send, mut receive) = here.next_exchange().await.unwrap();
        receive.next().await.unwrap_err()
    };
    let (_, error) = tokio::join!(asking, taking);
    assert!(matches!(error, RequestError::Closed { .. }), "{error}");
}
