// Defects that the models have to find, each one text in the sources of the engine.

/// One defect.
pub struct Plant {
    pub name: &'static str,
    /// The end of the file's path.
    #[allow(dead_code, reason = "for the build script")]
    pub file: &'static str,
    #[allow(dead_code, reason = "for the build script")]
    pub old: &'static str,
    #[allow(dead_code, reason = "for the build script")]
    pub new: &'static str,
    /// The program and the model that find it.
    #[allow(dead_code, reason = "for the list")]
    pub found_by: &'static str,
}

pub const PLANTS: &[Plant] = &[
    Plant {
        name: "free-then-forget",
        file: "engine/allocator.rs",
        old: "        self.tracker
            .forget(session, guard.as_mut(), block.addr(), layout.size());
        // SAFETY: passed on from the caller.
        unsafe { self.inner.dealloc(block, layout) }",
        new: "        let address = block.addr();
        // SAFETY: passed on from the caller.
        unsafe { self.inner.dealloc(block, layout) };
        self.tracker
            .forget(session, guard.as_mut(), address, layout.size());",
        found_by: "interleavings blocks",
    },
    Plant {
        name: "free-then-forget-at-once",
        file: "engine/allocator.rs",
        old: "                self.tracker
                    .forget_at_once(session, &mut guard, block.addr(), layout.size())",
        new: "                let (address, size) = (block.addr(), layout.size());
                // SAFETY: passed on from the caller.
                unsafe { self.inner.dealloc(block, layout) };
                if !self.tracker.forget_at_once(session, &mut guard, address, size) {
                    self.tracker.forget(session, Some(&mut guard), address, size);
                }
                return;",
        found_by: "interleavings blocks",
    },
    Plant {
        name: "moved-entry-cleared-whoever-owns-it",
        file: "live/mod.rs",
        old: "moving.entry.clear_if(moving.word);",
        new: "moving.entry.clear();",
        found_by: "interleavings blocks",
    },
    Plant {
        name: "moving-is-stale",
        file: "live/mod.rs",
        old: "old.tag() == tag && !old.is_moving()",
        new: "old.tag() == tag",
        found_by: "interleavings blocks",
    },
    Plant {
        name: "session-asked-again-at-the-end",
        file: "engine/tracker.rs",
        old: "        let epoch = session.epoch();
        let size = size as u64;
        let record = Record {",
        new: "        let epoch = self.session().unwrap_or(session).epoch();
        let size = size as u64;
        let record = Record {",
        found_by: "interleavings sessions",
    },
    Plant {
        name: "a-clear-keeps-the-session",
        file: "engine/session.rs",
        old: "Session::new(now.next_epoch(), now.settings()).on()",
        new: "Session::new(now.epoch(), now.settings()).on()",
        found_by: "interleavings sessions",
    },
    Plant {
        name: "places-of-living-threads-taken",
        file: "engine/threads.rs",
        old: "let free = now == 0 || now == me.bits() || Owner::from_bits(now).is_gone(me);",
        new: "let free = true;",
        found_by: "interleavings places",
    },
    Plant {
        name: "a-place-claimed-without-comparing",
        file: "engine/threads.rs",
        old: "                    .compare_exchange(now, me.bits(), Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()",
        new: "                    .swap(me.bits(), Ordering::AcqRel) != me.bits()",
        found_by: "interleavings places",
    },
    Plant {
        name: "counters-read-then-written",
        file: "engine/counters.rs",
        old: "                .compare_exchange_weak(word, tagged, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Some(next),",
        new: "                .compare_exchange_weak(self.0.load(Ordering::Relaxed), tagged, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Some(next),",
        found_by: "interleavings external",
    },
    Plant {
        name: "a-node-number-given-twice",
        file: "engine/stacks.rs",
        old: "let id = StackId(StackId::FIRST + self.added.fetch_add(1, Ordering::Relaxed));",
        new: "let added = self.added.load(Ordering::Relaxed);
        self.added.store(added + 1, Ordering::Relaxed);
        let id = StackId(StackId::FIRST + added);",
        found_by: "interleavings stacks",
    },
    Plant {
        name: "a-size-without-its-word-cleared",
        file: "live/entry.rs",
        old: "            self.word.store(0, Ordering::Relaxed);
            size.store(bytes, Ordering::Release);",
        new: "            size.store(bytes, Ordering::Release);",
        found_by: "memory entry",
    },
    Plant {
        name: "a-size-not-released",
        file: "live/entry.rs",
        old: "            size.store(bytes, Ordering::Release);",
        new: "            size.store(bytes, Ordering::Relaxed);",
        found_by: "memory entry",
    },
    Plant {
        name: "a-word-not-released",
        file: "live/entry.rs",
        old: "            size.store(bytes, Ordering::Release);
        }
        self.word.store(word.0, Ordering::Release);",
        new: "            size.store(bytes, Ordering::Release);
        }
        self.word.store(word.0, Ordering::Relaxed);",
        found_by: "memory entry",
    },
    Plant {
        name: "a-ledger-not-emptied-first",
        file: "engine/ledger.rs",
        old: "        self.session.store(0, Ordering::Release);",
        new: "",
        found_by: "memory ledger",
    },
];
