/* A library with one function: calls `work` from a frame of its own, whose size the build says. */

#ifdef INNER
void INNER(void (*work)(void));
#else
static void call(void (*work)(void)) { work(); }
#define INNER call
#endif

void NAME(void (*work)(void)) {
    volatile long room[ROOM];
    /* What is taken for a return address by mistake ends the stack, and so is seen. */
    for (int at = 0; at < ROOM; at++)
        room[at] = 0;
    INNER(work);
    room[0] = 1;
}
