use super::*;
use base::{Classify, ErrorKind};

const GIB: u64 = 1 << 30;

/// References of every form, encoding and place, with the least and the most that each can say.
fn samples() -> Vec<BlobRef> {
    let hash = Hash::of(b"sample");
    let uri = format!("s3://{}", "a".repeat(REFERENCE_BYTES_MAX - FIXED_BYTES - 5));
    let forms = [
        (ReferenceForm::Small, 0),
        (ReferenceForm::Small, 16 << 20),
        (ReferenceForm::Manifest { chunks: 1 }, 1),
        (ReferenceForm::Manifest { chunks: 8_192 }, 16 * GIB),
        (ReferenceForm::Tree { depth: 1 }, 1),
        (ReferenceForm::Tree { depth: 4 }, 128 << 50),
    ];
    let mut samples = Vec::new();
    for (form, bytes) in forms {
        let plain = BlobRef::new(form, hash, bytes).unwrap();
        for encoding in [BlobEncoding::Replicated, BlobEncoding::ReedSolomon { k: 10, m: 4 }] {
            let encoded = plain.clone().with_encoding(encoding).unwrap();
            samples.push(encoded.clone().with_uri(&uri).unwrap());
            samples.push(encoded.clone().with_uri("file:///a?b=c&at=d:e").unwrap());
            samples.push(encoded);
        }
    }
    samples
}

fn is_decode(result: Result<BlobRef, BlobError>) -> bool {
    matches!(result, Err(BlobError::Decode { .. }))
}

#[test]
fn references_come_back_from_bytes_and_text() {
    for reference in samples() {
        let (bytes, text) = (reference.encode(), reference.to_string());
        assert!((FIXED_BYTES..=REFERENCE_BYTES_MAX).contains(&bytes.len()));
        assert_eq!(BlobRef::decode(&bytes).unwrap(), reference, "{text}");
        assert_eq!(text.parse::<BlobRef>().unwrap(), reference, "{text}");
    }
}

#[test]
fn cut_extended_and_changed_bytes_are_refused() {
    for reference in samples() {
        let bytes = reference.encode();
        for length in 0..bytes.len() {
            assert!(is_decode(BlobRef::decode(&bytes[..length])), "{reference} cut to {length}");
        }
        assert!(is_decode(BlobRef::decode(&[&bytes[..], &[0]].concat())), "{reference} and a byte");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match BlobRef::decode(&flipped) {
                Err(BlobError::Decode { .. }) => {}
                Err(BlobError::UnsupportedVersion { found, known: 1, .. }) => {
                    assert!((32..48).contains(&bit) && found != 1, "{bit}");
                }
                other => panic!("{reference} bit {bit}: {other:?}"),
            }
        }
    }
}

/// Random changes to bytes whose checksum is right: what is read has these bytes and no others.
#[test]
fn bytes_that_are_read_are_the_only_ones_for_what_they_say() {
    let mut choice = blake3::Hasher::new_derive_key("changes").finalize_xof();
    let (samples, mut read) = (samples(), 0);
    for _ in 0..20_000 {
        let mut random = [0; 4];
        choice.fill(&mut random);
        let mut bytes = samples[usize::from(random[0]) % samples.len()].encode();
        // The fields before the name, and the URI, are where structure is.
        let at = match random[1] % 4 {
            0 => 48 + usize::from(random[2] % 12),
            _ => 6 + usize::from(random[2] % 10),
        };
        let end = bytes.len() - 4;
        bytes[at.min(end - 1)] = if random[1] < 128 { random[3] % 5 } else { random[3] };
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        match BlobRef::decode(&bytes) {
            Ok(reference) => {
                read += 1;
                assert_eq!(reference.encode(), bytes);
                assert_eq!(reference.to_string().parse::<BlobRef>().unwrap(), reference);
            }
            Err(error) => assert!(matches!(error, BlobError::Decode { .. }), "{error}"),
        }
    }
    assert!(read > 500, "{read}");
}

#[test]
fn golden_references_stay_as_they_are() {
    let (small, manifest) = (Hash::from_bytes([0x11; 32]), Hash::from_bytes([0x22; 32]));
    let small = BlobRef::small(small, 0x1234).unwrap();
    let tree = BlobRef::new(ReferenceForm::Tree { depth: 3 }, manifest, 5 << 40).unwrap();
    let manifest = BlobRef::new(ReferenceForm::Manifest { chunks: 300 }, manifest, 1_200_000_000).unwrap();
    let tree = tree.with_encoding(BlobEncoding::ReedSolomon { k: 10, m: 4 }).unwrap();
    let (ones, twos) = ("11".repeat(32), "22".repeat(32));
    for (reference, bytes, text) in [
        (
            small,
            format!("4e426c52010001000000000000000000{ones}3412000000000000 47beade3"),
            format!("blob:small:{ones}:4660"),
        ),
        (
            manifest.with_uri("s3://b").unwrap(),
            format!("4e426c520100020000000600 2c010000{twos}008c864700000000 73333a2f2f62 ccf8798c"),
            format!("blob:manifest:{twos}:1200000000:300?at=s3://b"),
        ),
        (
            tree.with_uri("file:///x").unwrap(),
            format!("4e426c52010003010a04090003000000{twos}000000000005000066696c653a2f2f2f78 d7cd231e"),
            format!("blob:tree:{twos}:5497558138880:3?rs=10,4&at=file:///x"),
        ),
    ] {
        let hex: String = reference.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, bytes.replace(' ', ""));
        assert_eq!(reference.to_string(), text);
    }
}

#[test]
fn forms_have_their_limits() {
    let hash = Hash::of(b"x");
    let new = |form, bytes| BlobRef::new(form, hash, bytes);
    for (form, bytes) in [
        (ReferenceForm::Small, (16 << 20) + 1),
        (ReferenceForm::Manifest { chunks: 8_192 }, 16 * GIB + 1),
        (ReferenceForm::Manifest { chunks: 2 }, (32 << 20) + 1),
        (ReferenceForm::Tree { depth: 1 }, 128 * GIB + 1),
        (ReferenceForm::Tree { depth: 2 }, 128 * 128 * GIB + 1),
        (ReferenceForm::Tree { depth: 4 }, (128 << 50) + 1),
        (ReferenceForm::Tree { depth: 255 }, u64::MAX),
    ] {
        let error = new(form, bytes).unwrap_err();
        assert!(matches!(error, BlobError::TooLarge { .. }), "{form:?} {bytes}: {error}");
        let stated = BlobRef { form, hash, bytes, encoding: BlobEncoding::Replicated, location: None };
        assert!(is_decode(BlobRef::decode(&stated.encode())), "{form:?} {bytes}");
        assert!(is_decode(stated.to_string().parse()), "{form:?} {bytes}");
    }
    for (form, bytes) in [
        (ReferenceForm::Manifest { chunks: 0 }, 0),
        (ReferenceForm::Manifest { chunks: 8_193 }, 9_000),
        (ReferenceForm::Manifest { chunks: 3 }, 2),
        (ReferenceForm::Tree { depth: 1 }, 0),
        (ReferenceForm::Tree { depth: 0 }, 1),
        (ReferenceForm::Tree { depth: 5 }, 1),
    ] {
        assert!(is_decode(new(form, bytes)), "{form:?} {bytes}");
    }
    assert!(new(ReferenceForm::Tree { depth: 2 }, 128 * 128 * GIB).is_ok());
}

#[test]
fn shards_are_counted_and_refused_by_who_cannot_do_them() {
    let plain = BlobRef::small(Hash::of(b"x"), 1).unwrap();
    for (k, m) in [(0, 1), (1, 0), (128, 128), (255, 1)] {
        assert!(is_decode(plain.clone().with_encoding(BlobEncoding::ReedSolomon { k, m })), "{k} {m}");
    }
    let most = plain.clone().with_encoding(BlobEncoding::ReedSolomon { k: 254, m: 1 }).unwrap();
    assert_eq!(BlobRef::decode(&most.encode()).unwrap().encoding(), most.encoding());
    let refused = most.require_replicated().unwrap_err();
    assert!(matches!(refused, BlobError::UnsupportedEncoding { .. }));
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    plain.require_replicated().unwrap();
}

#[test]
fn a_uri_has_a_scheme_and_our_own_is_its_name() {
    let hash = Hash::of(b"x");
    let own = BlobRef::small(hash, 1).unwrap();
    assert_eq!((own.uri(), own.scheme(), own.is_own()), (format!("netdb:{hash}"), "netdb", true));
    assert_eq!(own.clone().with_uri(&own.uri()).unwrap(), own);
    let other = own.clone().with_uri("s3://b/c").unwrap();
    assert_eq!((other.uri().as_str(), other.scheme(), other.is_own()), ("s3://b/c", "s3", false));
    assert_eq!(other.event_fields(), (hash, 1));
    let long = format!("a:{}", "x".repeat(REFERENCE_BYTES_MAX - FIXED_BYTES - 1));
    for wrong in
        ["", "s3", ":x", "s3:", "S3://b", "3s:x", "s3:a b", "s3:\u{e9}", "netdb:", "netdb:00", "s_3:x", &long]
    {
        assert!(is_decode(own.clone().with_uri(wrong)), "{wrong}");
    }
    let other_name = format!("netdb:{}", Hash::of(b"y"));
    assert!(is_decode(own.with_uri(&other_name)), "it names something else");
}

#[test]
fn texts_have_one_form() {
    let hash = Hash::of(b"x").to_string();
    assert!(format!("blob:small:{hash}:1").parse::<BlobRef>().is_ok());
    for wrong in [
        String::new(),
        "blob".into(),
        format!("small:{hash}:1"),
        format!("blob:large:{hash}:1"),
        format!("blob:small:{}:1", hash.to_uppercase()),
        format!("blob:small:{}:1", &hash[1..]),
        format!("blob:small:{hash}"),
        format!("blob:small:{hash}:01"),
        format!("blob:small:{hash}:+1"),
        format!("blob:small:{hash}:-1"),
        format!("blob:small:{hash}:1:"),
        format!("blob:small:{hash}:1?"),
        format!("blob:small:{hash}:1?at="),
        format!("blob:small:{hash}:1?at=netdb:{hash}"),
        format!("blob:small:{hash}:1?rs=1"),
        format!("blob:small:{hash}:1?rs=1,1&"),
        format!("blob:small:{hash}:1?rs=1,1?at=s3:x"),
        format!("blob:small:{hash}:1?to=s3:x"),
        format!("blob:manifest:{hash}:1"),
        format!("blob:tree:{hash}:1:1:1"),
        format!("blob:tree:{hash}:1:256"),
        format!(" blob:small:{hash}:1"),
    ] {
        assert!(is_decode(wrong.parse()), "{wrong}");
    }
}

#[test]
fn what_a_store_tells_of_a_blob_is_a_reference() {
    let store = crate::BlobStore::open(std::path::Path::new("blobs"), &base::Doors::memory()).unwrap();
    let sizes = crate::Chunking::Content(crate::ContentSizes::new(64, 256, 1_024).unwrap());
    let mut content = vec![0; 20_000];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    let small = store.put(&content[..9], crate::Chunking::Fixed).unwrap();
    let listed = store.put(&content[..], sizes).unwrap();
    assert_eq!(BlobRef::try_from(&small).unwrap(), BlobRef::small(Hash::of(&content[..9]), 9).unwrap());
    let reference = BlobRef::try_from(&listed).unwrap();
    assert!(matches!(reference.form(), ReferenceForm::Manifest { chunks } if chunks > 10));
    assert_eq!(reference.event_fields(), (listed.hash, 20_000));
    let tree = BlobInfo { form: BlobForm::Tree { depth: 2, chunking: sizes }, ..listed };
    assert_eq!(BlobRef::try_from(&tree).unwrap().form(), ReferenceForm::Tree { depth: 2 });
}
