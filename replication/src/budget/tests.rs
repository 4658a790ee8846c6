//! Buckets beside a naive twin, and who waits for how long, in simulated time.

use base::{Random as _, SeededRandom};

use super::*;

const MS: i128 = 1_000_000;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The same bucket in whole milliseconds: each is put in by itself.
#[derive(Debug)]
struct Twin {
    level: i64,
    waited: u64,
}

impl Twin {
    fn pass(&mut self, millis: u64) {
        for _ in 0..millis {
            self.level = i64::min(self.level + 1, 1_000);
            self.waited += 1;
        }
    }

    fn take(&mut self, cost: i64, background: Option<(i64, bool)>) -> bool {
        let fits = if cost > 1_000 { self.level == 1_000 } else { self.level >= cost };
        let goes = match background {
            None => fits,
            Some((kept, yields)) => {
                let regular = !yields && self.level > kept && fits;
                let minutes = i64::try_from(self.waited / 60_000).unwrap();
                regular || (minutes > 0 && cost <= 100 * minutes)
            }
        };
        if goes {
            self.level -= cost;
        }
        goes
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_gives_what_its_naive_twin_gives_and_says_when_to_ask_again() {
    for seed in 0..50 {
        let random = SeededRandom::new(seed);
        let below = |most: u64| {
            let mut bytes = [0; 8];
            random.fill(&mut bytes);
            u64::from_le_bytes(bytes) % most
        };
        let (mut bucket, mut twin) = (Bucket::default(), Twin { level: 1_000, waited: 0 });
        let mut now = Instant::now();
        let (mut given, mut refused) = (0, 0);
        for step in 0..400 {
            let pass = if below(10) == 0 { below(90_000) } else { below(400) };
            twin.pass(pass);
            now += millis(pass);
            let cost = if below(8) == 0 { below(3_000) } else { below(300) };
            let kept = [1_000, 700, 999, 300][usize::try_from(below(4)).unwrap()];
            let (background, yields) = (below(2) == 0, below(4) == 0);
            let since = now - millis(twin.waited);
            let asked = match background {
                false => Asked::Foreground,
                true => Asked::Background { kept: i128::from(kept) * MS, yields, since },
            };
            let kept = i64::from(kept);
            let wanted = twin.take(i64::try_from(cost).unwrap(), background.then_some((kept, yields)));
            let cost = i128::from(cost) * MS;
            let taken = bucket.take(now, cost, asked);
            assert_eq!(
                taken.is_ok(),
                wanted,
                "seed {seed}, step {step}: {asked:?} {cost} {bucket:?} {twin:?}"
            );
            assert_eq!(bucket.level, i128::from(twin.level) * MS, "seed {seed}, step {step}");
            match taken {
                Ok(()) => {
                    given += 1;
                    twin.waited = if background { 0 } else { twin.waited };
                }
                Err(again) => {
                    refused += 1;
                    let before = again.saturating_sub(Duration::from_nanos(1));
                    assert!(
                        bucket.clone().take(now + before, cost, asked).is_err(),
                        "{seed} {step}: too late"
                    );
                    assert!(bucket.clone().take(now + again, cost, asked).is_ok(), "{seed} {step}: too soon");
                }
            }
            if below(10) == 0 {
                let back = i64::try_from(below(500)).unwrap();
                twin.level = i64::min(twin.level + back, 1_000);
                bucket.refund(now, i128::from(back) * MS);
            }
        }
        assert!(given > 50 && refused > 50, "seed {seed}: {given} {refused}");
    }
}

fn given(peak: u64) -> Budget {
    Budget::new(Peak::Given(NonZeroU64::new(peak).unwrap()))
}

fn config(fraction: &str, class: BandwidthClass, background: &str) -> ReplicationConfig {
    ReplicationConfig {
        replication_budget_fraction: fraction.parse().unwrap(),
        default_bandwidth_class: class,
        background_fraction: background.parse().unwrap(),
        ..ReplicationConfig::default()
    }
}

fn allowed(budget: &Budget, config: &ReplicationConfig) -> Allowance {
    let allowance = Allowance::default();
    allowance.set(budget, config);
    allowance
}

fn foreground(budget: &Budget) -> Allowance {
    allowed(budget, &config("0.5", BandwidthClass::Foreground, "0.3"))
}

fn background(budget: &Budget) -> Allowance {
    allowed(budget, &config("0.5", BandwidthClass::Background, "0.3"))
}

/// Takes, and says how long that took.
async fn takes(allowance: &Allowance, bytes: usize) -> Duration {
    let begun = Instant::now();
    allowance.take(bytes).await.arrived();
    begun.elapsed()
}

/// Lets tasks go on until they wait for time.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_keeps_to_the_fraction_of_the_peak_however_many_send() {
    let budget = given(1_000_000);
    let (one, other) =
        (foreground(&budget), allowed(&budget, &config("0.25", BandwidthClass::Foreground, "0")));
    let begun = Instant::now();
    // A second of it is there at once.
    assert_eq!(takes(&one, 500_000).await, Duration::ZERO);
    for _ in 0..10 {
        assert_eq!(takes(&one, 100_000).await, millis(200));
    }
    // Half as fast: each byte occupies the line for twice as long.
    assert_eq!(takes(&other, 100_000).await, millis(400));
    let together = tokio::spawn({
        let one = one.clone();
        async move { takes(&one, 100_000).await }
    });
    settle().await;
    assert_eq!(takes(&other, 100_000).await, millis(600), "behind who came first");
    assert_eq!(together.await.unwrap(), millis(200));
    assert_eq!(begun.elapsed(), millis(3_000));
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_a_second_of_the_budget_goes_once_it_is_full_and_leaves_a_debt() {
    let budget = given(1_000);
    let one = foreground(&budget);
    assert_eq!(takes(&one, 1_500).await, Duration::ZERO);
    assert_eq!(takes(&one, 50).await, millis(2_100));
    assert_eq!(takes(&one, 1_500).await, millis(1_000), "it waits for the bucket to be full");
}

#[tokio::test(start_paused = true)]
async fn the_background_leaves_the_foreground_its_part_and_starves_for_a_minute_at_most() {
    let budget = given(1_000);
    let (fore, back) = (foreground(&budget), background(&budget));
    // It takes what is there beyond 0.7 s of the line.
    assert_eq!(takes(&back, 200).await, Duration::ZERO);
    assert_eq!(takes(&back, 10).await, millis(101), "as exact as the clock of the runtime");
    assert_eq!(takes(&fore, 300).await, Duration::ZERO, "what was kept is there for who needs it");
    // While somebody waits in the foreground, it does not go, however much is there.
    tokio::time::sleep(millis(5_000)).await;
    let large = tokio::spawn(async move {
        takes(&fore, 500).await;
        let begun = Instant::now();
        for _ in 0..130 {
            takes(&fore, 250).await;
        }
        begun.elapsed()
    });
    settle().await;
    let escaped = takes(&back, 50).await;
    assert_eq!(escaped, Duration::from_secs(60));
    // The escape is paid for.
    assert_eq!(large.await.unwrap(), millis(65_100));
    // What costs more than a tenth waits for as many escapes.
    let none = allowed(&budget, &config("0.5", BandwidthClass::Background, "0"));
    assert_eq!(takes(&none, 50).await, Duration::from_secs(60));
    assert_eq!(takes(&none, 120).await, Duration::from_secs(180));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_given_back_and_who_waits_for_it_goes_on() {
    let budget = given(1_000);
    let one = foreground(&budget);
    let taken = one.take(500).await;
    let waits = tokio::spawn({
        let one = one.clone();
        async move { takes(&one, 500).await }
    });
    settle().await;
    tokio::time::sleep(millis(100)).await;
    taken.not_sent();
    assert_eq!(waits.await.unwrap(), millis(100));
    // What is lost may have gone, and is not.
    drop(one.take(500).await);
    assert_eq!(takes(&one, 500).await, millis(1_000));
}

#[tokio::test(start_paused = true)]
async fn who_waits_no_longer_takes_nothing_and_lets_the_next_one_go() {
    let budget = given(1_000);
    let (fore, back) = (foreground(&budget), background(&budget));
    takes(&fore, 500).await;
    assert!(tokio::time::timeout(millis(300), fore.take(500)).await.is_err());
    assert_eq!(takes(&fore, 500).await, millis(700));
    // Nobody waits in the foreground any more.
    assert!(tokio::time::timeout(millis(900), fore.take(500)).await.is_err());
    assert_eq!(takes(&back, 10).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_log_anew_holds_for_what_waits() {
    let budget = given(1_000);
    let one = allowed(&budget, &config("0.1", BandwidthClass::Foreground, "0.3"));
    takes(&one, 100).await;
    let waits = tokio::spawn({
        let one = one.clone();
        async move { takes(&one, 100).await }
    });
    settle().await;
    tokio::time::sleep(millis(50)).await;
    one.set(&budget, &config("1", BandwidthClass::Foreground, "0.3"));
    assert_eq!(waits.await.unwrap(), millis(100));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_without_a_peak_or_before_it_was_measured() {
    for budget in [Budget::default(), Budget::new(Peak::Unlimited)] {
        for allowance in [foreground(&budget), background(&budget)] {
            assert_eq!(takes(&allowance, usize::MAX).await, Duration::ZERO);
        }
        assert_eq!(budget.peak(), None);
    }
    assert_eq!(takes(&Allowance::default(), usize::MAX).await, Duration::ZERO);
    let budget = Budget::new(Peak::Measured);
    let one = foreground(&budget);
    for _ in 0..2 {
        let taken = one.take(1_000).await;
        tokio::time::sleep(millis(500)).await;
        taken.arrived();
    }
    assert_eq!((budget.peak(), budget.measured()), (Some(2_000), Some(2_000)));
    assert_eq!(takes(&one, 1_000).await, Duration::ZERO);
    assert_eq!(takes(&one, 1_000).await, millis(1_000), "half of what was measured");
}
