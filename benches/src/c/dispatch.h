/* What a loop of a C library is given: descriptors, and whom to call for one that can be read. */

#ifndef AEM_BENCHES_DISPATCH_H
#define AEM_BENCHES_DISPATCH_H

#include <stddef.h>

struct dispatch {
    void *relay;
    /* Reads what is there and passes it on. Not zero when the lap is over. */
    int (*ready)(void *relay, size_t at);
    const int *readers;
    size_t pairs;
};

#endif
