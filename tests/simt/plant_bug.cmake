# cmake -D FROM=file -D TO=file -D FOLDER=folder -P plant_bug.cmake: copies FROM with the text of
# FOLDER/before replaced by that of FOLDER/after; fails when it is not there.
file(READ ${FROM} text)
file(READ ${FOLDER}/before before)
file(READ ${FOLDER}/after after)
string(FIND "${text}" "${before}" position)
if(position EQUAL -1)
  message(FATAL_ERROR "planted bug: ${FROM} no longer has: ${before}")
endif()
string(REPLACE "${before}" "${after}" text "${text}")
file(WRITE ${TO} "${text}")
