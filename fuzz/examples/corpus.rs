//! Writes valid files of each structure to `corpus/`: `cargo run --example corpus`.

use std::path::Path;

use base::{Random, SeededRandom};
use blob::fuzzing as blobs;
use net::fuzzing::{Message, Picks};
use netdb_fuzz::corpus;
use redex::fuzzing::{Choices, Structure};

const FILES: u64 = 6;
const FILE_BYTES_MAX: usize = 9000;

fn main() {
    for structure in Structure::ALL {
        write(&corpus::folder_of(structure), |choices| structure.make(&mut Choices(choices)));
    }
    for message in Message::ALL {
        write(&corpus::folder_of(message), |choices| message.make(&mut Picks(choices)));
    }
    for structure in blobs::Structure::ALL {
        let folder = corpus::folder_of_blobs(structure);
        write(&folder, |choices| structure.make(&mut blobs::Choices(choices)));
    }
}

fn write(folder: &Path, make: impl Fn(&[u8]) -> Vec<u8>) {
    let mut written = 0;
    for seed in 0.. {
        let mut choices = vec![0; 100 * seed as usize];
        SeededRandom::new(seed).fill(&mut choices);
        let bytes = make(&choices);
        if bytes.len() <= FILE_BYTES_MAX {
            corpus::write(folder, &format!("valid-{written}"), &bytes);
            written += 1;
        }
        if written == FILES {
            break;
        }
    }
}
