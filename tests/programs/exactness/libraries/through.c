/* A library with one function: calls `work` from a frame of its own, whose size the build says. */

#ifdef INNER
void INNER(void (*work)(void));
#else
static void call(void (*work)(void)) { work(); }
#define INNER call
#endif

void NAME(void (*work)(void)) {
    volatile char room[ROOM];
    room[0] = 1;
    INNER(work);
    room[0] = 2;
}
