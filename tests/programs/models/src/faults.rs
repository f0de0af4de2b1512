// Defects that the models have to find, each one text in the sources of the engine.

/// One defect.
pub struct Fault {
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

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "free-then-remove",
        file: "engine/allocator.rs",
        old: "        self.tracker
            .remove(session, guard.as_mut(), block.addr(), layout.size());
        // SAFETY: passed on from the caller.
        unsafe { self.inner.dealloc(block, layout) }",
        new: "        let address = block.addr();
        // SAFETY: passed on from the caller.
        unsafe { self.inner.dealloc(block, layout) };
        self.tracker
            .remove(session, guard.as_mut(), address, layout.size());",
        found_by: "interleavings blocks",
    },
    Fault {
        name: "free-then-remove-fast",
        file: "engine/allocator.rs",
        old: "                self.tracker
                    .remove_fast(session, &mut guard, block.addr(), layout.size())",
        new: "                let (address, size) = (block.addr(), layout.size());
                // SAFETY: passed on from the caller.
                unsafe { self.inner.dealloc(block, layout) };
                if !self.tracker.remove_fast(session, &mut guard, address, size) {
                    self.tracker.remove(session, Some(&mut guard), address, size);
                }
                return;",
        found_by: "interleavings blocks",
    },
    Fault {
        name: "moved-entry-cleared-whoever-owns-it",
        file: "blocks/mod.rs",
        old: "moving.entry.clear_if(moving.word);",
        new: "moving.entry.clear();",
        found_by: "interleavings blocks",
    },
    Fault {
        name: "moving-is-stale",
        file: "blocks/mod.rs",
        old: "old.short_number() == short && !old.is_moving()",
        new: "old.short_number() == short",
        found_by: "interleavings blocks",
    },
    Fault {
        name: "session-asked-again-at-the-end",
        file: "engine/tracker.rs",
        old: "        let number = session.number();
        let size = size as u64;
        let record = Record {",
        new: "        let number = self.session().unwrap_or(session).number();
        let size = size as u64;
        let record = Record {",
        found_by: "interleavings sessions",
    },
    Fault {
        name: "a-clear-keeps-the-session",
        file: "session/switch.rs",
        old: "Session::new(now.next_number(), now.settings()).on()",
        new: "Session::new(now.number(), now.settings()).on()",
        found_by: "interleavings sessions",
    },
    Fault {
        name: "slots-of-living-threads-taken",
        file: "thread/slots.rs",
        old: "owner != me.bits() && Owner::from_bits(owner).is_gone(me);",
        new: "owner != me.bits();",
        found_by: "interleavings slots",
    },
    Fault {
        name: "a-slot-claimed-without-comparing",
        file: "thread/slots.rs",
        old: "            .compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()",
        new: "            .swap(after, Ordering::AcqRel) == before",
        found_by: "interleavings slots",
    },
    Fault {
        name: "counters-read-then-written",
        file: "session/sum.rs",
        old: "            match self.word.compare_exchange_weak(
                word,
                tagged,",
        new: "            match self.word.compare_exchange_weak(
                self.word.load(Ordering::Relaxed),
                tagged,",
        found_by: "interleavings external",
    },
    Fault {
        name: "a-node-number-given-twice",
        file: "stacks/mod.rs",
        old: "let before = self.added.0.fetch_add(count, Ordering::Relaxed);",
        new: "let before = self.added.0.load(Ordering::Relaxed);
        self.added.0.store(before + count, Ordering::Relaxed);",
        found_by: "interleavings stacks",
    },
    Fault {
        name: "a-size-without-its-word-cleared",
        file: "blocks/entry.rs",
        old: "            self.word.store(0, Ordering::Relaxed);
            size.store(bytes, Ordering::Release);",
        new: "            size.store(bytes, Ordering::Release);",
        found_by: "memory entry",
    },
    Fault {
        name: "a-size-not-released",
        file: "blocks/entry.rs",
        old: "            size.store(bytes, Ordering::Release);",
        new: "            size.store(bytes, Ordering::Relaxed);",
        found_by: "memory entry",
    },
    Fault {
        name: "a-word-not-released",
        file: "blocks/entry.rs",
        old: "            size.store(bytes, Ordering::Release);
        }
        self.word.store(word.0, Ordering::Release);",
        new: "            size.store(bytes, Ordering::Release);
        }
        self.word.store(word.0, Ordering::Relaxed);",
        found_by: "memory entry",
    },
    Fault {
        name: "a-counter-not-emptied-first",
        file: "thread/counter.rs",
        old: "        self.session.store(0, Ordering::Release);",
        new: "",
        found_by: "memory thread_counter",
    },
    Fault {
        name: "a-refused-block-counted",
        file: "allocator/special.rs",
        old: "    if let Some(counting) = counting
        && !block.is_null()
    {",
        new: "    if let Some(counting) = counting {",
        found_by: "interleavings scopes",
    },
    Fault {
        name: "a-free-while-tracing-is-off-not-counted",
        file: "allocator/special.rs",
        old: "if !session.is_on() && !scopes::is_open() {",
        new: "if !session.is_on() {",
        found_by: "interleavings scopes",
    },
    Fault {
        name: "a-number-used-again-beside-its-live-blocks",
        file: "scope/numbers.rs",
        old: "        self.ended.insert(number);",
        new: "        self.free.push((number, T::default()));",
        found_by: "interleavings owners",
    },
    Fault {
        name: "a-moved-block-stays-its-old-scopes",
        file: "tracker/history.rs",
        old: "[stale, old.map(Moving::record)]",
        new: "[stale, None]",
        found_by: "interleavings owners",
    },
    Fault {
        name: "a-labels-number-given-back-in-use",
        file: "stacks/labels.rs",
        old: "            if added.is_none() {
                self.give_back(number);
            }",
        new: "            self.give_back(number);",
        found_by: "interleavings labels",
    },
];
