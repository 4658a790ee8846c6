//! Writes valid files of each structure to `corpus/`: `cargo run --example corpus`.

use base::{Random, SeededRandom};
use netdb_fuzz::corpus;
use redex::fuzzing::{Choices, Structure};

const FILES: u64 = 6;
const FILE_BYTES_MAX: usize = 9000;

fn main() {
    for structure in Structure::ALL {
        let mut written = 0;
        for seed in 0.. {
            let mut choices = vec![0; 100 * seed as usize];
            SeededRandom::new(seed).fill(&mut choices);
            let bytes = structure.make(&mut Choices(&choices));
            if bytes.len() <= FILE_BYTES_MAX {
                corpus::write(&corpus::folder_of(structure), &format!("valid-{written}"), &bytes);
                written += 1;
            }
            if written == FILES {
                break;
            }
        }
    }
}
