//! Corrupt stretches that are met when a log opens.

use super::*;
