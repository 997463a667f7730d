/* cupti.c: finds CUPTI and opens it. */
#include "trace/cupti.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>

enum { CUDA_MAJOR = CUDART_VERSION / 1000 };

/* Where the system looks, then the usual places of a toolkit: the build's, and the machine's. */
static void *find_library(void) {
    static const char *const folders[] = {
        "", QN_CUDA_LIBRARY_DIR "/", QN_CUDA_LIBRARY_DIR "/../extras/CUPTI/lib64/",
        "/usr/local/cuda/lib64/", "/usr/local/cuda/extras/CUPTI/lib64/"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%slibcupti.so.%d", folders[i], CUDA_MAJOR);
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (library) return library;
    }
    return NULL;
}

static qn_status find_functions(qn_cupti *cupti) {
#define FIND(name)                                                                                 \
    *(void **)&cupti->name = dlsym(cupti->library, "cupti" #name);                                 \
    if (!cupti->name)                                                                              \
        return qn_error(QN_CODE_UNSUPPORTED,                                                       \
                        "libcupti.so.%d has no function cupti" #name                               \
                        "; reinstall CUPTI of the CUDA toolkit",                                   \
                        CUDA_MAJOR);
    QN_CUPTI_FUNCTIONS(FIND)
#undef FIND
    return QN_OK;
}

/* Later versions only add to the ends of records. */
static qn_status check_version(const qn_cupti *cupti) {
    uint32_t version = 0;
    QN_CUPTI_TRY(cupti, cupti->GetVersion(&version), "asking for the version of CUPTI");
    if (version >= CUPTI_API_VERSION) return QN_OK;
    return qn_error(QN_CODE_UNSUPPORTED,
                    "libcupti.so.%d has version %u of its interface, and this build needs %u; put "
                    "the folder of a newer CUPTI first in LD_LIBRARY_PATH",
                    CUDA_MAJOR, version, (unsigned)CUPTI_API_VERSION);
}

qn_status qn_cupti_open(qn_cupti *cupti) {
    *cupti = (qn_cupti){.library = find_library()};
    if (!cupti->library)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "libcupti.so.%d is not found (%s); install CUPTI of the CUDA toolkit, or "
                        "add its folder to LD_LIBRARY_PATH",
                        CUDA_MAJOR, dlerror());
    QN_TRY(find_functions(cupti));
    return check_version(cupti);
}

/* ---- errors -------------------------------------------------------------------- */

static const char *remedy_of(CUptiResult error) {
    switch (error) {
    case CUPTI_ERROR_INSUFFICIENT_PRIVILEGES:
    case CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES:
        return "the driver lets nobody but root trace: run as root (a container with --cap-add="
               "SYS_ADMIN), or load the module nvidia with NVreg_RestrictProfilingToAdminUsers=0";
    case CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED:
        return "another profiler traces this process: run it without that one";
    case CUPTI_ERROR_NOT_INITIALIZED:
    case CUPTI_ERROR_NOT_COMPATIBLE:
        return "the driver may be older than CUPTI: update it";
    case CUPTI_ERROR_OUT_OF_MEMORY:
        return "free host or device memory, e.g. with a smaller batch";
    default:
        return "the CUPTI manual explains this error";
    }
}

static qn_code code_of(CUptiResult error) {
    return error == CUPTI_ERROR_OUT_OF_MEMORY ? QN_CODE_MEMORY : QN_CODE_UNSUPPORTED;
}

qn_status qn_cupti_error(const qn_cupti *cupti, CUptiResult error, const char *attempted) {
    const char *name = NULL;
    if (cupti->GetResultString(error, &name) || !name) name = "an unknown error of CUPTI";
    return qn_error(code_of(error), "%s: %s (%d); %s", attempted, name, (int)error,
                    remedy_of(error));
}
